# SPDX-License-Identifier: MIT OR Apache-2.0
"""The OpenAPI document against real requests and replies."""
