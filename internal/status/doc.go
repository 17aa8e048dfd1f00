// Package status writes wanted statuses onto the objects of a cluster. It merges: entries of other
// controllers and condition types that are not ours stay as they are. It decides nothing about what a
// status should say, keeps no status that is written already, and writes only while Run is running, which
// is for the leader alone.
//
// It counts on a source that hands out objects with their metadata.uid, resourceVersion, generation and
// status, and that hands out a newer object when only the status has changed.
//
//	translate -> Want -> merge with the object -> PATCH status, with the object's resourceVersion
package status
