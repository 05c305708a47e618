//! The thread that drives requests, for callers that block.

use std::io;
use std::mem::ManuallyDrop;
use std::process;
use std::sync::mpsc::{self, Receiver, Sender};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// The thread that drives requests.
pub(crate) struct Worker {
    /// Always there, until it is dropped.
    runtime: Option<Runtime>,
    process: u32,
}

impl Worker {
    pub(crate) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads(1)
            .thread_name("outcore-store")
            .enable_all();
        Ok(Self {
            runtime: Some(builder.build()?),
            process: process::id(),
        })
    }

    /// Returns the runtime, in the process that started it.
    ///
    /// In a forked child, the thread is not there, and results would never come.
    pub(crate) fn runtime(&self) -> io::Result<&Runtime> {
        let runtime = self.runtime.as_ref();
        let ours = runtime.filter(|_| self.process == process::id());
        ours.ok_or_else(|| {
            let reason = "the store was made before a fork, in the parent";
            io::Error::new(io::ErrorKind::PermissionDenied, reason)
        })
    }

    /// Starts work, whose result goes to `sender` with its number.
    pub(crate) fn start_work<T: Send + 'static>(
        &self,
        number: usize,
        sender: &Sender<(usize, io::Result<T>)>,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let runtime = self.runtime()?;
        let mut answer = Answer {
            number,
            sender: Some(sender.clone()),
        };
        Ok(runtime.spawn(async move { answer.send(work.await) }))
    }

    /// Waits for a piece of work.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = mpsc::channel();
        let _task = self.start_work(0, &sender, work)?;
        receive(&receiver)?.1
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            if self.process == process::id() {
                // It may be dropped where blocking is not allowed.
                runtime.shutdown_background();
            } else {
                // What the parent's threads own leaks in the child, where they are not.
                let _left = ManuallyDrop::new(runtime);
            }
        }
    }
}

pub(crate) fn receive<T>(
    receiver: &Receiver<(usize, io::Result<T>)>,
) -> io::Result<(usize, io::Result<T>)> {
    receiver
        .recv()
        .map_err(|_gone| io::Error::other("the request was given up"))
}

/// What a piece of work sends exactly once, also when it panics.
struct Answer<T> {
    number: usize,
    sender: Option<Sender<(usize, io::Result<T>)>>,
}

impl<T> Answer<T> {
    fn send(&mut self, result: io::Result<T>) {
        if let Some(sender) = self.sender.take() {
            // The receiver may have given up.
            sender.send((self.number, result)).ok();
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.send(Err(io::Error::other("the request was given up")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_forked_child_work_is_refused_and_nothing_waits() {
        let mut worker = Worker::start().unwrap();
        assert_eq!(worker.run(async { Ok(7) }).unwrap(), 7);
        // As the child sees it.
        worker.process = worker.process.wrapping_add(1);
        let refused = worker.run(async { Ok(7) }).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        drop(worker);
    }
}
