//! Generations in a running dispatcher, over real sockets.

mod canary;
mod world;
