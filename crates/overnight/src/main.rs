//! Works a backlog through the night at half price.
fn main() {}
