// Package epp is the endpoint picker: it ties the ext_proc service to its pools, configuration, health service, metrics and
// shutdown. It opens no listener and reads no file; its caller does.
//
//	datalayer.Pools + config.Config -> EPP -> gRPC services, HTTP handler
//	a changed configuration -> Reload -> the service of new streams
package epp
