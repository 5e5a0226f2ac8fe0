//! Goal: what operators watch roomcast with fits the server. Method: the rules, the dashboards and the runbooks are read as text; every
//! expression in them is parsed, and held against what the server's own registry says.

mod dashboards;
mod promql;
mod rules;
mod runbooks;
