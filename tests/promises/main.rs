//! The promises of atcomms, a file for each.
