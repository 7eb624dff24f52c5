//! Generations in a running dispatcher, over real sockets.

mod canary;
mod confirmation;
mod hand_over;
mod world;
