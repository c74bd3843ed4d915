// Package helm checks the chart of Gantry with Helm's own engine: that it is
// sound, refuses what is incomplete, and asks for no more than it needs.
package helm
