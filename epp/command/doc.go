// Package command is the endpoint picker as a program: its flags, its environment, its ports and how it ends. It is `controlplane epp`, and
// the program of whoever builds a picker with plugins of their own: they register them (config.RegisterScorer and its like) and call Main.
//
//	flags, environment -> configuration, API server or files -> epp.EPP -> listeners; SIGTERM -> drain -> end
//
// It only wires parts together: what a picker does is package epp's and those below it.
package command
