mod filter;
mod pagination;
mod pagination_model;
mod parse;
mod range;
mod soundness;
mod stream;
