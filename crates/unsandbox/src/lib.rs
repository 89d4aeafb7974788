// SPDX-License-Identifier: MIT OR Apache-2.0
//! Run code in any language in a sandbox: on this machine, at unsandbox.com, or on a server of your own.
