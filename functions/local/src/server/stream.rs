//! A connection whose client must take what it asked for: an answer in the middle of being sent is held in memory, and
//! hyper has no time limit for that.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Within this time a client that does not take everything at once ...
const STALL_TIME: Duration = Duration::from_secs(20);
/// ... must take at least so much (6 KB/s).
const STALL_BYTES: usize = 128 * 1024;

/// Writes fail once the other side has taken too little for too long.
#[derive(Debug)]
pub(crate) struct ImpatientStream<S> {
    inner: S,
    stall: Option<Stall>,
}

/// Since the system's buffer was full for the first time.
#[derive(Debug)]
struct Stall {
    timer: Pin<Box<Sleep>>,
    taken: usize,
}

impl<S> ImpatientStream<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, stall: None }
    }

    /// What a write of `offered` bytes comes to.
    fn judge(
        &mut self,
        context: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(taken)) if taken >= offered => self.stall = None,
            Poll::Ready(Ok(taken)) => {
                if let Some(stall) = &mut self.stall {
                    stall.taken = stall.taken.saturating_add(taken);
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => ready!(self.wait(context))?,
        }
        written
    }

    /// Ready when the time is over.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stall = self.stall.get_or_insert_with(|| Stall {
            timer: Box::pin(tokio::time::sleep(STALL_TIME)),
            taken: 0,
        });
        while stall.timer.as_mut().poll(context).is_ready() {
            if stall.taken < STALL_BYTES {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            stall.taken = 0;
            stall.timer.as_mut().reset(Instant::now() + STALL_TIME);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ImpatientStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ImpatientStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.judge(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let written = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        this.judge(context, offered, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_given_up() {
        let (near, _far) = duplex(64 * 1024);
        let mut stream = ImpatientStream::new(near);
        let begun = Instant::now();
        let error = stream.write_all(&vec![0; 1 << 20]).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (io::ErrorKind::TimedOut, STALL_TIME));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_its_time_is_served() {
        let (near, mut far) = duplex(64 * 1024);
        let mut stream = ImpatientStream::new(near);
        let reader = tokio::spawn(async move {
            let (mut read, mut chunk) = (0, vec![0; 16 * 1024]);
            while read < 1 << 20 {
                tokio::time::sleep(Duration::from_secs(2)).await;
                read += far.read(&mut chunk).await.unwrap();
            }
            read
        });
        let begun = Instant::now();
        stream.write_all(&vec![0; 1 << 20]).await.unwrap();
        assert!(begun.elapsed() > STALL_TIME * 5);
        assert_eq!(reader.await.unwrap(), 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_answer_has_its_own_time() {
        let (near, mut far) = duplex(64 * 1024);
        let mut stream = ImpatientStream::new(near);
        let mut chunk = vec![0; 64 * 1024];
        for _ in 0..10 {
            let write = async {
                stream.write_all(&vec![0; 65 * 1024]).await.unwrap();
            };
            let read = async {
                tokio::time::sleep(STALL_TIME / 2).await;
                far.read_exact(&mut chunk).await.unwrap();
                far.read_exact(&mut chunk[..1024]).await.unwrap();
            };
            tokio::join!(write, read);
            tokio::time::sleep(STALL_TIME).await;
        }
    }
}
