// SPDX-License-Identifier: MIT OR Apache-2.0
//! The helper program of unsandbox that builds jails.
