// +build linux,!windows plan9

package main

const end = "al"
