// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTTP server of unsandbox, over any backend.
