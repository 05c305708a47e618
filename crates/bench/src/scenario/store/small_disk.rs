//! A small disk over the directory of this process, and of this process alone.
#![expect(unsafe_code, reason = "leaving a namespace has no safe wrapper")]

use std::fs;

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

use crate::prelude::*;

/// Mounts a tmpfs of `bytes` over `dir`, in a mount namespace that ends with this process. Skips
/// where the machine allows that neither to us nor to a user namespace of ours.
pub(super) fn enter(dir: &Path, bytes: u64) -> Result<()> {
    let refused = |error| skip(format!("no small disk can be mounted: {error}"));
    own_namespace().map_err(refused)?;
    let options = format!("size={bytes},mode=700\0");
    let options = std::ffi::CString::from_vec_with_nul(options.into_bytes())?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(refused)?;
    let flags = MountFlags::empty();
    rustix::mount::mount("tmpfs", dir, "tmpfs", flags, options.as_c_str()).map_err(refused)
}

fn own_namespace() -> rustix::io::Result<()> {
    let mounts = UnshareFlags::NEWNS;
    // SAFETY: file descriptors stay shared as they are; nothing else is memory of this program.
    if unsafe { rustix::thread::unshare_unsafe(mounts) }.is_ok() {
        return Ok(());
    }
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    // SAFETY: as above.
    unsafe { rustix::thread::unshare_unsafe(mounts | UnshareFlags::NEWUSER) }?;
    let maps = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {} 1", user.as_raw())),
        ("gid_map", format!("0 {} 1", group.as_raw())),
    ];
    for (file, text) in maps {
        let written = fs::write(format!("/proc/self/{file}"), text);
        written.map_err(|error| {
            let number = error.raw_os_error().unwrap_or(libc::EPERM);
            rustix::io::Errno::from_raw_os_error(number)
        })?;
    }
    Ok(())
}
