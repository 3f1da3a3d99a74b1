//! The only room that speaks to Azure.

pub mod aadsts;
pub mod address;
pub mod arm;
pub mod assertion;
pub mod cache;
pub mod clock;
pub mod endpoints;
pub mod grant;
pub mod http;
pub mod known;
pub mod settling;
pub mod sign_in;
pub mod token;
pub mod token_error;
