//! The server side of RFC 6455 over a TCP stream taken from hyper.
//!
//! Ten thousand connections are mostly idle, so a socket owns no buffer while
//! nothing is under way: bytes are read into one scratch buffer per thread,
//! and only an unfinished message or an unsent frame lives on the heap.
//! Outgoing frames are lists of shared [`bytes::Bytes`] and leave with vectored
//! writes; a result sent to a thousand clients is never copied here.
//!
//! Extensions are not negotiated: compressing per connection would cost the
//! memory and the sharing that make large fan-outs cheap.

mod decoder;
mod frame;
mod handshake;
mod socket;

pub use decoder::{CloseFrame, Decoder, Message, ProtocolError};
pub use frame::Frame;
pub use handshake::{HandshakeError, accept_response};
pub use socket::{SocketError, WebSocket};
