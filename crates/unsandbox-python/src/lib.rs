// SPDX-License-Identifier: MIT OR Apache-2.0
//! The native module of the unsandbox Python package.
