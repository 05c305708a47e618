//! A store in memory that counts requests, and fails those that a test chooses.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use futures_util::stream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The store asks for patience.
    Throttled,
    /// The connection ends before the first byte.
    Reset,
    /// The connection ends in the middle of the answer.
    Torn,
    /// The answer ends early, as if it were whole.
    Short,
    /// The answer never ends.
    Endless,
    /// Each byte has another bit.
    Flipped,
    /// There is no such object any more.
    Gone,
    /// The client panics.
    Panic,
    /// Ranges that count from the end are refused.
    NoSuffix,
}

#[derive(Debug, Default)]
pub(crate) struct Unsteady {
    store: InMemory,
    /// What happens to the next requests for bytes; nothing, to those behind.
    faults: Mutex<VecDeque<Option<Fault>>>,
    /// The ranges that were asked for.
    pub(crate) ranges: Mutex<Vec<Range<u64>>>,
    under_way: AtomicUsize,
    pub(crate) under_way_max: AtomicUsize,
    /// How many requests have to be under way before one is answered.
    pub(crate) hold: AtomicUsize,
    /// Conditions of requests are ignored, as some servers do.
    pub(crate) is_careless: AtomicBool,
    /// Objects have no entity tags.
    pub(crate) is_untagged: AtomicBool,
}

impl Unsteady {
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        let mut list = self.faults.lock().unwrap();
        list.clear();
        list.extend(faults);
    }
}

impl fmt::Display for Unsteady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unsteady")
    }
}

fn broken(reason: &'static str) -> Error {
    Error::Generic {
        store: "unsteady",
        source: reason.into(),
    }
}

#[async_trait]
impl ObjectStore for Unsteady {
    async fn put_opts(
        &self,
        path: &Path,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.store.put_opts(path, bytes, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, mut options: GetOptions) -> Result<GetResult> {
        if self.is_careless.load(Relaxed) {
            options.if_match = None;
        }
        let fault = self.faults.lock().unwrap().pop_front().flatten();
        match fault {
            Some(Fault::Throttled) => return Err(broken("503 Slow Down")),
            Some(Fault::Reset) => {
                let answer = io::Error::from(io::ErrorKind::ConnectionReset);
                return Err(Error::Generic {
                    store: "unsteady",
                    source: answer.into(),
                });
            }
            Some(Fault::Gone) => {
                let (path, source) = (path.to_string(), "404".into());
                return Err(Error::NotFound { path, source });
            }
            Some(Fault::NoSuffix) if matches!(options.range, Some(GetRange::Suffix(_))) => {
                return Err(Error::NotSupported {
                    source: "suffix".into(),
                });
            }
            Some(Fault::Panic) => panic!("a bug of the client"),
            _ => {}
        }
        let under_way = self.under_way.fetch_add(1, Relaxed) + 1;
        self.under_way_max.fetch_max(under_way, Relaxed);
        for _ in 0..1_000_000 {
            if self.under_way_max.load(Relaxed) >= self.hold.load(Relaxed) {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.under_way.fetch_sub(1, Relaxed);
        let mut answer = self.store.get_opts(path, options).await?;
        if self.is_untagged.load(Relaxed) {
            answer.meta.e_tag = None;
        }
        let range = answer.range.clone();
        self.ranges.lock().unwrap().push(range.clone());
        let Some(fault) = fault else {
            return Ok(answer);
        };
        let meta = answer.meta.clone();
        let attributes = answer.attributes.clone();
        let extensions = answer.extensions.clone();
        let whole = answer.bytes().await?.to_vec();
        let half = whole.len() / 2;
        let piece = |bytes: &[u8]| Ok(bytes::Bytes::copy_from_slice(bytes));
        let pieces: BoxStream<'static, Result<bytes::Bytes>> = match fault {
            Fault::Torn => {
                let pieces = [piece(&whole[..half]), Err(broken("body ended early"))];
                stream::iter(pieces).boxed()
            }
            Fault::Short => stream::iter([piece(&whole[..half])]).boxed(),
            Fault::Endless => stream::repeat_with(move || piece(&whole)).boxed(),
            Fault::Flipped => {
                let flipped: Vec<_> = whole.iter().map(|byte| byte ^ 1).collect();
                stream::iter([piece(&flipped)]).boxed()
            }
            _ => stream::iter([piece(&whole)]).boxed(),
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(pieces),
            meta,
            range,
            attributes,
            extensions,
        })
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}
