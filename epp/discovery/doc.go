// Package discovery knows where model servers are when no cluster tells: from a file that names them. It must not ask the
// servers anything, nor give a part of a file that is wrong.
//
//	file -> File.Read, File.Follow -> datalayer.Spec -> Pools.Set
package discovery
