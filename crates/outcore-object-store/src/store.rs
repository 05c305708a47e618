//! A store: a client, the thread that drives its requests, and a cache.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use object_store::ObjectStore;
use object_store::path::Path;
use outcore::ScratchDir;

use crate::cache::Cache;
use crate::fetch::Client;
use crate::object::Object;
use crate::options::Options;
use crate::worker::Worker;

/// An object store that sealed files are read from. Clones share all of it.
///
/// # Examples
///
/// ```
/// use object_store::memory::InMemory;
/// use outcore::ScratchDir;
/// use outcore_object_store::{Store, object_store};
///
/// let store = Store::new(InMemory::new())?.with_cache(&ScratchDir::from_env()?, 1 << 30)?;
/// assert_eq!((store.requests(), store.cache_bytes()), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    pub(crate) client: Arc<Client>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) cache: Option<Arc<Cache>>,
}

impl Store {
    /// Makes one of a client of `object_store`, or of an `Arc` or `Box` of one.
    ///
    /// # Errors
    ///
    /// The system refuses to start the thread that drives requests.
    pub fn new(store: impl ObjectStore) -> io::Result<Self> {
        Self::with_options(store, Options::new())
    }

    /// Makes one that makes requests as `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn with_options(store: impl ObjectStore, options: Options) -> io::Result<Self> {
        Ok(Self {
            client: Arc::new(Client {
                store: Arc::new(store),
                options,
                requests: AtomicU64::new(0),
            }),
            worker: Arc::new(Worker::start()?),
            cache: None,
        })
    }

    /// Returns the store with a cache: what is read from now on is kept in scratch files of `dir`, up to
    /// `bytes_max`, and read from there the next time.
    ///
    /// The files preallocate up to a quarter more. They have no names, and are gone with the process. A
    /// full disk, or the quota of `dir`, lowers the limit, and is no error of a read. An object is known
    /// again by its entity tag when it is opened again; without a tag, it is cached for as long as it is
    /// open.
    ///
    /// # Errors
    ///
    /// Those of [`Arena::new_in`](outcore::Arena::new_in) and [`Arena::writer`](outcore::Arena::writer).
    ///
    /// # Cost
    ///
    /// About 60 bytes of memory for each 16 KiB in the cache, and two buffers of 256 KiB. Blocks that come
    /// from the cache are verified as those that come from the store.
    pub fn with_cache(mut self, dir: &ScratchDir, bytes_max: u64) -> outcore::Result<Self> {
        self.cache = Some(Arc::new(Cache::new(dir, bytes_max)?));
        Ok(self)
    }

    /// Returns an object, for `open_from` of a sealed type. No request is made yet.
    pub fn object(&self, path: impl Into<Path>) -> Object {
        Object::new(self.clone(), path.into())
    }

    /// Returns how many requests for bytes were made, retries included. Those that the client has made
    /// again by itself are not known here.
    pub fn requests(&self) -> u64 {
        self.client.requests.load(Relaxed)
    }

    /// Returns how many bytes of the disk the cache takes.
    pub fn cache_bytes(&self) -> u64 {
        self.cache.as_ref().map_or(0, |cache| cache.disk_bytes())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("store", &self.client.store)
            .field("options", &self.client.options)
            .finish_non_exhaustive()
    }
}
