//! The product as users start it: shape of the workspace, simulator in to API answer out, a scripted Keepa, kill -9,
//! and the five services as processes of their own on real servers.

mod cluster;
mod double;
mod independent;
mod pipeline;
mod restart;
mod system;
mod workspace_shape;
