package config

import (
	"testing"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
)

func TestTokensAreKnownBeforeWhoeverNeedsThem(t *testing.T) {
	precise, err := producer.NewPrecisePrefix(nil)
	if err != nil {
		t.Fatal(err)
	}
	session, err := producer.NewSessionID(nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := producer.NewToken(nil)
	if err != nil {
		t.Fatal(err)
	}
	sorted := tokenizersFirst([]scheduling.Producer{precise, session, token})
	if sorted[0] != token || sorted[1] != precise || sorted[2] != session {
		t.Errorf("the order is %T, %T, %T", sorted[0], sorted[1], sorted[2])
	}
}
