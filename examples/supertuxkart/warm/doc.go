// Package warm has the tests that make the real SuperTuxKart image warm on a real containerd.
package warm
