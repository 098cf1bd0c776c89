//! Accepting connections: slow clients are cut off, a shutdown lets requests in flight finish.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::http::Server;
use super::patience::Patient;

/// A client has this long to send its request's headers; also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// A client that takes no byte of its answer for this long is given up: answers hold memory.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of headers; a signed request needs about one KiB.
const HEADER_BYTES: usize = 64 * 1024;
/// Connections open at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;
/// Requests in flight get this long after SIGTERM.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(9);

/// Serves `listener` until `stop` resolves, then lets requests in flight finish.
pub(crate) async fn serve(listener: TcpListener, server: Arc<Server>, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::pin!(stop);
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some connection to end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(&server);
        let service = service_fn(move |request| Arc::clone(&server).answer(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(Patient::new(stream, SEND_TIMEOUT)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A broken connection is the client's business.
            let _ = connection.await;
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_PATIENCE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still in flight when the shutdown's patience ended");
    }
}
