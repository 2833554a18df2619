//! The server as a whole: how it starts, refuses to start, serves, and ends.

mod bodies;
mod callers;
mod disk;
mod logs;
mod secrets;
mod slow;
mod start;
mod stop;
mod tls;
