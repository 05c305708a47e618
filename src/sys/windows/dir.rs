//! A directory, its file system, files that delete themselves, and names.
#![expect(
    unsafe_code,
    reason = "calls for which std has no function; see docs/safety.md"
)]

use std::ffi::{CStr, OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::os::windows::io::{AsHandle, AsRawHandle};
use std::path::{Path, PathBuf};
use std::ptr;

use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_DELETE_ON_CLOSE,
    FILE_SHARE_READ, FILE_SHARE_WRITE, GetDiskFreeSpaceExW, GetDriveTypeW,
    GetFinalPathNameByHandleW, GetVolumeInformationByHandleW, GetVolumePathNameW,
};
use windows_sys::Win32::System::WindowsProgramming::{DRIVE_RAMDISK, DRIVE_REMOTE};

use crate::sys::contract::DirCalls;
use crate::sys::system::SystemCalls;
use crate::sys::windows::file::{File, facts_of, identity_of};
use crate::sys::windows::{System, answered, last_answer};
use crate::sys::{Access, Facts, FileSystem};

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir {
    /// Keeps the directory: as long as it is open, neither it nor one that it is in can be renamed or
    /// removed, so `path` always leads to it.
    handle: fs::File,
    /// The whole path, without links.
    path: PathBuf,
}

/// The most characters of a path, with the zero at its end.
const PATH_CHARS_MAX: usize = 1 << 15;

impl Dir {
    fn at(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    fn create(&self, name: &OsStr) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        options.open(self.at(name)).map(File::of)
    }

    /// Returns the kind of the drive that the directory is on.
    fn drive(&self) -> io::Result<u32> {
        let path = wide(&self.path);
        let mut root = vec![0; path.len().saturating_add(1)];
        let chars = u32::try_from(root.len()).unwrap_or(u32::MAX);
        // SAFETY: the path ends with a zero, and the system writes at most as many characters as there
        // is room for.
        answered(unsafe { GetVolumePathNameW(path.as_ptr(), root.as_mut_ptr(), chars) })?;
        // SAFETY: the system has ended the path by a zero.
        Ok(unsafe { GetDriveTypeW(root.as_ptr()) })
    }
}

impl DirCalls for Dir {
    type File = File;

    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true);
        // To rename or remove it, another opener would have to be allowed to delete it.
        options.share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE);
        options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
        let handle = options.open(path)?;
        if handle.metadata()?.file_attributes() & FILE_ATTRIBUTE_DIRECTORY == 0 {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let path = fs::canonicalize(path)?;
        Ok(Self { handle, path })
    }

    /// Only allocators ask, and there are none.
    fn open_c(_path: &CStr) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn is_ram_backed(&self) -> io::Result<bool> {
        Ok(self.drive()? == DRIVE_RAMDISK)
    }

    /// It cannot be, as long as it is open.
    fn is_removed(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn device(&self) -> io::Result<u64> {
        identity_of(&self.handle).map(|(device, _number)| device)
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        let (mut free_bytes, mut total_bytes) = (0, 0);
        let path = wide(&self.path);
        // SAFETY: the path ends with a zero, and the system writes two numbers.
        answered(unsafe {
            GetDiskFreeSpaceExW(
                path.as_ptr(),
                &raw mut free_bytes,
                &raw mut total_bytes,
                ptr::null_mut(),
            )
        })?;
        let mut name = [0; 32];
        // SAFETY: the handle is open while `self` is borrowed. The system writes a name of at most as
        // many characters as there is room for, and leaves out what nothing is asked for.
        answered(unsafe {
            GetVolumeInformationByHandleW(
                self.handle.as_raw_handle(),
                ptr::null_mut(),
                0,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                name.as_mut_ptr(),
                32,
            )
        })?;
        let name = name.split(|char| *char == 0).next().unwrap_or_default();
        let drive = self.drive()?;
        Ok(FileSystem {
            name: OsString::from_wide(name)
                .to_string_lossy()
                .into_owned()
                .into(),
            ram_backed: drive == DRIVE_RAMDISK,
            network: drive == DRIVE_REMOTE,
            free_bytes,
            total_bytes,
        })
    }

    /// The file has a random name that nothing can open, and is deleted when its last handle is closed,
    /// also by the end of the process. After a power cut it is still there.
    fn create_unnamed(&self) -> io::Result<File> {
        let name = System::unguessable_name()?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        options
            .share_mode(0)
            .custom_flags(FILE_FLAG_DELETE_ON_CLOSE);
        options.open(self.at(&name)).map(File::of)
    }

    /// There are no such files.
    fn create_linkable(&self) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn create_named(&self, name: &OsStr) -> io::Result<File> {
        self.create(name)
    }

    /// With the permissions that the directory gives to new files.
    fn create_private(&self, name: &OsStr) -> io::Result<File> {
        self.create(name)
    }

    fn facts(&self, name: &OsStr) -> io::Result<Facts> {
        let facts = fs::symlink_metadata(self.at(name))?;
        Ok(facts_of(facts.file_attributes()))
    }

    fn check_writable(&self, name: &OsStr) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.at(name)).map(drop)
    }

    fn open_named(&self, name: &OsStr, access: Access) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::ReadWrite);
        options.open(self.at(name)).map(File::of)
    }

    fn is_linkable(&self, _file: &File) -> io::Result<bool> {
        Ok(false)
    }

    /// By the name that the file has already, as another name of it. Refused by file systems that give
    /// one name only (FAT).
    fn link(&self, file: &File, name: &OsStr) -> io::Result<bool> {
        let new = self.at(name);
        fs::hard_link(path_of(file)?, &new)?;
        // Another process may have given the old name to another file.
        let named = OpenOptions::new().read(true).open(new);
        let named = named.and_then(|named| identity_of(&named));
        Ok(named.is_ok_and(|named| file.is(named)))
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn unlink(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_file(self.at(name))
    }

    fn sync(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
        options.open(&self.path)?.sync_all()
    }

    /// A directory has no bytes that could be locked.
    fn try_lock(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn unlock(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Returns a path that leads to an open file.
fn path_of(file: &File) -> io::Result<PathBuf> {
    let mut path = vec![0; PATH_CHARS_MAX];
    let room = u32::try_from(path.len()).unwrap_or(u32::MAX);
    let handle = file.as_handle().as_raw_handle();
    // SAFETY: the handle is open while the file is borrowed, and the system writes at most as many
    // characters as there is room for.
    let len = unsafe { GetFinalPathNameByHandleW(handle, path.as_mut_ptr(), room, 0) };
    let found = usize::try_from(len).ok().filter(|len| *len > 0);
    let found = found.ok_or_else(last_answer)?;
    let found = path.get(..found).ok_or(io::ErrorKind::InvalidData)?;
    Ok(OsString::from_wide(found).into())
}

/// Returns a path as the system takes it, with a zero at its end.
fn wide(path: &Path) -> Vec<u16> {
    let chars = path.as_os_str().encode_wide();
    chars.take(PATH_CHARS_MAX).chain([0]).collect()
}
