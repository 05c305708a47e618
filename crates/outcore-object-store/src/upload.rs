//! A file of this machine into the store.

use std::io::{self, Read};
use std::sync::Arc;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use outcore::InputFile;

use crate::store::Store;

/// The bytes of a part. S3 wants at least 5 MiB.
const PART_BYTES: u64 = 8 << 20;

/// The parts that S3 allows.
const PARTS_MAX: u64 = 10_000;

impl Store {
    /// Copies a file of this machine to an object, which appears when all of it is there.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the store refuses; then there is no such object, or the one that was
    /// there before. Requests are made again only as the client of `object_store` does.
    ///
    /// # Cost
    ///
    /// Requests of 8 MiB, or of a 10,000th of the file if that is more, one after the other, and as much
    /// memory.
    pub fn upload(
        &self,
        file: impl AsRef<std::path::Path>,
        path: impl Into<Path>,
    ) -> io::Result<()> {
        let (mut input, path) = (InputFile::open(&file)?, path.into());
        let bytes = std::fs::metadata(&file)?.len();
        let part_bytes = PART_BYTES.max(bytes.div_ceil(PARTS_MAX));
        let store = Arc::clone(&self.client.store);
        let first = next_part(&mut input, part_bytes)?;
        if (first.len() as u64) < part_bytes {
            let put = async move { Ok(store.put(&path, PutPayload::from(first)).await?) };
            return self.worker.run(put).map(drop);
        }
        let begin = async move { Ok(store.put_multipart(&path).await?) };
        let mut upload = self.worker.run(begin)?;
        match self.upload_parts(first, &mut input, part_bytes, upload.as_mut()) {
            Ok(()) => self
                .worker
                .run(async move { Ok(upload.complete().await?) })
                .map(drop),
            Err(error) => {
                // What the store keeps of it without that, it drops by its own rules.
                let abort = async move { Ok(upload.abort().await?) };
                self.worker.run(abort).ok();
                Err(error)
            }
        }
    }

    fn upload_parts(
        &self,
        first: Vec<u8>,
        input: &mut InputFile,
        part_bytes: u64,
        upload: &mut dyn MultipartUpload,
    ) -> io::Result<()> {
        let mut part = first;
        while !part.is_empty() {
            let put = upload.put_part(PutPayload::from(part));
            self.worker.run(async move { Ok(put.await?) })?;
            part = next_part(input, part_bytes)?;
        }
        Ok(())
    }
}

/// Reads the next bytes of a file; none at its end.
fn next_part(file: &mut InputFile, part_bytes: u64) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    file.take(part_bytes).read_to_end(&mut part)?;
    Ok(part)
}
