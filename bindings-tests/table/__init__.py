# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs the one table of cases through every face, at every endpoint."""
