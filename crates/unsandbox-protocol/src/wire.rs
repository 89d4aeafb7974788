// SPDX-License-Identifier: MIT OR Apache-2.0
//! JSON to types and back.
