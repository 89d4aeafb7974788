// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys: how a request is signed, how a server compares, and the accounts file.
