//! A server of S3 on loopback, behind a proxy that throttles, resets and cuts answers.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder as Connections;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, RetryConfig};
use outcore::SealedVec;
use outcore_object_store::{Options, Store};
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::runtime::{self, Runtime};

use crate::unsteady::Fault;
use crate::{TempFile, are_squares, dir, put_numbers, put_squares};

/// A server with one bucket, whose objects are files of a directory.
struct Server {
    port: u16,
    runtime: Option<Runtime>,
    dir: TempFile,
}

impl Server {
    fn start() -> Self {
        let dir = TempFile::new();
        fs::create_dir_all(dir.0.join("bucket")).unwrap();
        let service = S3ServiceBuilder::new(FileSystem::new(&dir.0).unwrap()).build();
        let service = service.into_shared();
        let mut runtime = runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let bound = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = bound.unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            while let Ok((client, _address)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let connections = Connections::new(TokioExecutor::new());
                    let client = TokioIo::new(client);
                    // A client that goes away is no failure of the server.
                    connections.serve_connection(client, service).await.ok();
                });
            }
        });
        Self {
            port,
            runtime: Some(runtime),
            dir,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.runtime.take());
        fs::remove_dir_all(&self.dir.0).ok();
    }
}

/// What happens to the next requests, and how many there were.
#[derive(Default)]
struct Plan {
    faults: Mutex<VecDeque<Option<Fault>>>,
    requests: AtomicU64,
}

impl Plan {
    fn fail(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        *self.faults.lock().unwrap() = faults.into_iter().collect();
    }

    /// Returns what happens to the next request.
    fn next(&self) -> Option<Fault> {
        self.faults.lock().unwrap().pop_front().flatten()
    }
}

/// Passes requests to the server, and fails those that the plan says. Returns its port.
fn proxy(server: u16, plan: &Arc<Plan>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let plan = Arc::clone(plan);
    // It ends with the process.
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let plan = Arc::clone(&plan);
            thread::spawn(move || answer(client, server, &plan));
        }
    });
    port
}

/// Answers one request, and closes the connection.
fn answer(mut client: TcpStream, server: u16, plan: &Plan) -> io::Result<()> {
    let mut head = vec![0; 16 << 10];
    let len = loop {
        let len = client.peek(&mut head)?;
        if len == 0 || head[..len].ends_with(b"\r\n\r\n") {
            break len;
        }
        thread::yield_now();
    };
    head.truncate(len);
    if head.is_empty() {
        return Ok(());
    }
    plan.requests.fetch_add(1, Relaxed);
    let fault = plan.next();
    if fault == Some(Fault::Reset) {
        // A socket that is closed with bytes that were not read resets the connection.
        return Ok(());
    }
    client.read_exact(&mut head)?;
    let throttled = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = match fault {
        Some(Fault::Throttled) => throttled.to_vec(),
        Some(Fault::Torn) => {
            let answer = forward(&head, server)?;
            answer[..answer.len() - 1].to_vec()
        }
        Some(Fault::Short) => shortened(&forward(&head, server)?),
        _ => forward(&head, server)?,
    };
    client.write_all(&answer)?;
    client.shutdown(Shutdown::Write)
}

fn forward(head: &[u8], server: u16) -> io::Result<Vec<u8>> {
    let mut upstream = TcpStream::connect(("127.0.0.1", server))?;
    let head = String::from_utf8_lossy(head);
    let (first, rest) = head.split_once("\r\n").unwrap_or_default();
    write!(upstream, "{first}\r\nConnection: close\r\n{rest}")?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Returns an answer whose body is shorter by a byte, and which says so.
fn shortened(answer: &[u8]) -> Vec<u8> {
    let mut ends = answer.windows(4);
    let end = ends.position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = answer.split_at(end);
    let body = &body[..body.len() - 1];
    let mut short = String::new();
    for line in String::from_utf8_lossy(head).trim_end().split("\r\n") {
        if line.to_ascii_lowercase().starts_with("content-length:") {
            let len = body.len().to_string();
            short.extend(["Content-Length: ", &len, "\r\n"]);
        } else {
            short.extend([line, "\r\n"]);
        }
    }
    [short.as_bytes(), b"\r\n", body].concat()
}

/// HTTP over a plain socket, with a connection for each request.
#[derive(Debug)]
struct Plain;

impl HttpConnector for Plain {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Self))
    }
}

#[async_trait]
impl HttpService for Plain {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
        let (mut head, body) = request.into_parts();
        let server = head.uri.authority().unwrap().to_string();
        let socket = tokio::net::TcpStream::connect(&server).await;
        let socket = socket.map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?;
        let made = handshake(TokioIo::new(socket)).await;
        let (mut sender, connection) = made.map_err(broken)?;
        tokio::spawn(connection);
        head.headers.insert("host", server.parse().unwrap());
        head.uri = head.uri.path_and_query().unwrap().as_str().parse().unwrap();
        let request = HttpRequest::from_parts(head, body);
        let answer = sender.send_request(request).await.map_err(broken)?;
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(broken))))
    }
}

/// Returns a client of a server, without retries of its own, so that ours are seen.
fn client(port: u16) -> AmazonS3 {
    let retry = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    AmazonS3Builder::new()
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name("bucket")
        .with_skip_signature(true)
        .with_retry(retry)
        .with_http_connector(Plain)
        .build()
        .unwrap()
}

/// Returns the kind of answer that is in the error of a read.
fn kind(refused: outcore::Error) -> io::ErrorKind {
    io::Error::from(refused).kind()
}

#[test]
fn an_s3_server_that_throttles_resets_and_cuts_answers_is_asked_again() {
    let server = Server::start();
    let direct = Store::new(client(server.port)).unwrap();
    put_squares(&direct, 131_072, "some/squares");
    let plan = Arc::new(Plan::default());
    let options = Options::new().gap_bytes(0).retries(3, Duration::ZERO);
    let store = Store::with_options(client(proxy(server.port, &plan)), options).unwrap();
    let open = || SealedVec::<u64>::open_from(store.object("some/squares"));
    let faults = [Fault::Throttled, Fault::Reset, Fault::Torn, Fault::Short];
    // In 20 blocks, no two of which are neighbours.
    let wanted: Vec<_> = (0..20).map(|n| n * 6151).collect();
    for fault in [None].into_iter().chain(faults.map(Some)) {
        for before in [0, 1, 2, 10] {
            plan.fail([None].repeat(before).into_iter().chain([fault; 2]));
            plan.requests.store(0, Relaxed);
            let squares = open().unwrap();
            assert!(are_squares(&squares.gather(&wanted).unwrap(), &wanted));
            // The tail, the checksums, and the blocks.
            let expected = 22 + if fault.is_some() { 2 } else { 0 };
            let requests = plan.requests.load(Relaxed);
            assert_eq!(requests, expected, "{fault:?} after {before}");
        }
    }
    for fault in faults {
        plan.fail([Some(fault); 4]);
        let refused = open().unwrap_err();
        let message = refused.to_string();
        assert!(message.contains("object some/squares"), "{message}");
        assert!(message.contains("the last of 4 attempts"), "{message}");
        match fault {
            Fault::Reset => assert_eq!(kind(refused), io::ErrorKind::ConnectionReset),
            Fault::Short => assert_eq!(kind(refused), io::ErrorKind::UnexpectedEof),
            _ => {}
        }
    }
    let refused = SealedVec::<u64>::open_from(store.object("none")).unwrap_err();
    assert_eq!(kind(refused), io::ErrorKind::NotFound);
}

#[test]
fn one_request_opens_a_large_object_of_a_server_and_the_cache_spares_the_others() {
    let server = Server::start();
    let plan = Arc::new(Plan::default());
    let store = Store::new(client(proxy(server.port, &plan))).unwrap();
    let store = store.with_cache(&dir(1 << 30), 64 << 20).unwrap();
    let direct = Store::new(client(server.port)).unwrap();
    // 9.6 MB: an upload in parts.
    put_squares(&direct, 1_200_000, "squares");
    let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
    assert_eq!(plan.requests.load(Relaxed), 1);
    let all = squares.read(..).unwrap();
    assert!(all.iter().zip(0..).all(|(square, n)| *square == n * n));
    assert_eq!(plan.requests.load(Relaxed), 5, "the checksums, and 9.6 MB");
    assert_eq!(squares.read(..).unwrap(), all);
    assert_eq!(plan.requests.load(Relaxed), 5);

    // This server ignores the condition of a request, and its answer tells that it is another object.
    put_numbers(&direct, 1_200_000, "squares");
    let uncached = Store::new(client(server.port)).unwrap();
    let other = SealedVec::<u64>::open_from(uncached.object("squares")).unwrap();
    put_squares(&direct, 1_200_000, "squares");
    let replaced = io::ErrorKind::StaleNetworkFileHandle;
    assert_eq!(kind(other.get(8).unwrap_err()), replaced);
}
