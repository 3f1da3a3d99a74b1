//! The only room that speaks to Azure.

pub mod arm;
pub mod http;
pub mod sign_in;
