//! The only room that speaks to Azure.

pub mod http;
