//! The rules of the night as tables, and a property over every zone.

mod decisions;
mod every_zone;
mod nights;
