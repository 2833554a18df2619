//! The server as a whole: how it starts, refuses to start, serves, and ends.

mod bodies;
mod callers;
mod disk;
mod secrets;
mod start;
mod stop;
