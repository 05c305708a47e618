//! One request, made again while the store refuses it for reasons that may pass.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore};

use crate::options::Options;

/// The longest pause between two attempts, unless the first one is longer.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What the requests of a store share.
pub(crate) struct Client {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) options: Options,
    /// How many requests were made, retries included.
    pub(crate) requests: AtomicU64,
}

/// Why one attempt did not work.
enum Refusal {
    /// It may work the next time.
    Passing(io::Error),
    Final(io::Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::NotFound { .. } => io::ErrorKind::NotFound,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                io::ErrorKind::PermissionDenied
            }
            Error::NotSupported { .. } | Error::NotImplemented { .. } => io::ErrorKind::Unsupported,
            Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. } => {
                io::ErrorKind::InvalidInput
            }
            Error::Precondition { .. } | Error::NotModified { .. } => return replaced(),
            other => {
                let kind = kind_of(other);
                return Self::Passing(io::Error::new(kind, other.to_string()));
            }
        };
        Self::Final(io::Error::new(kind, error.to_string()))
    }
}

/// Returns what happened to the connection, if the error is about that.
fn kind_of(error: &Error) -> io::ErrorKind {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let answer = error.downcast_ref().map(io::Error::kind);
        if let Some(
            kind @ (io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::TimedOut
            | io::ErrorKind::UnexpectedEof),
        ) = answer
        {
            return kind;
        }
        cause = error.source();
    }
    io::ErrorKind::Other
}

/// Why a read of another object than the one that was opened is refused.
pub(crate) const REPLACED: &str = "it was replaced since it was opened; open it again";

fn replaced() -> Refusal {
    let replaced = io::ErrorKind::StaleNetworkFileHandle;
    Refusal::Final(io::Error::new(replaced, REPLACED))
}

/// Returns whether an answer is about the object that was opened.
pub(crate) fn is_same(opened: &ObjectMeta, answer: &ObjectMeta) -> bool {
    let is_tag_same = match (&opened.e_tag, &answer.e_tag) {
        (Some(opened), Some(answer)) => opened == answer,
        _ => opened.last_modified == answer.last_modified,
    };
    is_tag_same && opened.size == answer.size
}

/// What a request asks for.
enum Ask<'a> {
    /// The last bytes.
    Tail(u64),
    /// What the store says about the object, and no bytes.
    Head,
    /// A range of an object that was opened before.
    Range(&'a ObjectMeta, Range<u64>),
}

impl Client {
    /// Returns the last `len` bytes of an object, or all of it, and what the store says about it.
    pub(crate) async fn tail(&self, path: &Path, len: u64) -> io::Result<(ObjectMeta, Vec<u8>)> {
        match self.try_often(path, &Ask::Tail(len)).await {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            answer => return answer,
        }
        // Azure has no ranges that count from the end.
        let (meta, none) = self.try_often(path, &Ask::Head).await?;
        let range = meta.size.saturating_sub(len)..meta.size;
        if range.is_empty() {
            return Ok((meta, none));
        }
        let bytes = self.range(path, &meta, range).await?;
        Ok((meta, bytes))
    }

    /// Returns a range of an object that was opened before.
    pub(crate) async fn range(
        &self,
        path: &Path,
        opened: &ObjectMeta,
        range: Range<u64>,
    ) -> io::Result<Vec<u8>> {
        let ask = Ask::Range(opened, range);
        let (_meta, bytes) = self.try_often(path, &ask).await?;
        Ok(bytes)
    }

    /// Makes attempts until one works, or there were enough.
    async fn try_often(&self, path: &Path, ask: &Ask<'_>) -> io::Result<(ObjectMeta, Vec<u8>)> {
        let mut pause = self.options.first_pause;
        let mut left = self.options.retries;
        loop {
            let refused = match self.attempt(path, ask).await {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Final(error)) => return Err(located(path, &error)),
                Err(Refusal::Passing(error)) => error,
            };
            if left == 0 {
                let attempts = self.options.retries.saturating_add(1);
                let reason = format!("{refused}; the last of {attempts} attempts");
                return Err(located(path, &io::Error::new(refused.kind(), reason)));
            }
            left = left.saturating_sub(1);
            tokio::time::sleep(pause).await;
            pause = pause
                .saturating_mul(2)
                .min(PAUSE_MAX.max(self.options.first_pause));
        }
    }

    async fn attempt(&self, path: &Path, ask: &Ask<'_>) -> Result<(ObjectMeta, Vec<u8>), Refusal> {
        let options = GetOptions::new();
        let options = match ask {
            Ask::Tail(len) => options.with_range(Some(GetRange::Suffix(*len))),
            Ask::Head => options.with_head(true),
            Ask::Range(opened, range) => {
                // A weak tag never matches.
                let tag = opened.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
                options
                    .with_range(Some(GetRange::Bounded(range.clone())))
                    .with_if_match(tag)
            }
        };
        self.requests.fetch_add(1, Relaxed);
        let answer = self.store.get_opts(path, options).await?;
        let meta = answer.meta.clone();
        let expected = match ask {
            Ask::Tail(len) => meta.size.saturating_sub(*len)..meta.size,
            Ask::Head => return Ok((meta, Vec::new())),
            // Some stores ignore the condition.
            Ask::Range(opened, _) if !is_same(opened, &meta) => return Err(replaced()),
            Ask::Range(_, range) => range.clone(),
        };
        Ok((meta, whole(answer, &expected).await?))
    }
}

/// Returns the bytes of an answer, if they are all that was asked for, and no more.
async fn whole(answer: GetResult, expected: &Range<u64>) -> Result<Vec<u8>, Refusal> {
    let range = answer.range.clone();
    let len = expected.end.saturating_sub(expected.start);
    let mut bytes = Vec::new();
    let reserved = usize::try_from(len).map(|len| bytes.try_reserve_exact(len));
    if !matches!(reserved, Ok(Ok(()))) {
        return Err(Refusal::Final(io::ErrorKind::OutOfMemory.into()));
    }
    let mut pieces = answer.into_stream();
    while range == *expected && bytes.len() as u64 <= len {
        match poll_fn(|context| pieces.as_mut().poll_next(context)).await {
            Some(piece) => bytes.extend_from_slice(&piece?),
            None => break,
        }
    }
    if range == *expected && bytes.len() as u64 == len {
        return Ok(bytes);
    }
    let is_short = (bytes.len() as u64) < len;
    let kind = if is_short {
        io::ErrorKind::UnexpectedEof
    } else {
        io::ErrorKind::InvalidData
    };
    let reason = format!(
        "the store answered with {} bytes of {}..{} instead of {}..{}",
        bytes.len(),
        range.start,
        range.end,
        expected.start,
        expected.end
    );
    Err(Refusal::Passing(io::Error::new(kind, reason)))
}

fn located(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("object {path}: {error}"))
}
