// SPDX-License-Identifier: MIT OR Apache-2.0
//! The embedded engine of unsandbox: a rootless Linux sandbox.
