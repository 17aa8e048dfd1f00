package config

import (
	"testing"

	"github.com/switchyard/switchyard/epp/body"
)

func TestPrefixLimits(t *testing.T) {
	for name, test := range map[string]struct {
		prefix      Prefix
		engineBlock int
		blockTokens int
		limits      body.Limits
	}{
		"default":                       {defaultPrefix(), 0, 64, body.Limits{MaxPromptBytes: 131072 * 4, BlockBytes: 256}},
		"small engine blocks are 64":    {defaultPrefix(), 16, 64, body.Limits{MaxPromptBytes: 131072 * 4, BlockBytes: 256}},
		"large engine blocks":           {defaultPrefix(), 128, 128, body.Limits{MaxPromptBytes: 131072 * 4, BlockBytes: 512}},
		"engine blocks without tuning":  {Prefix{BlockTokens: 64, MaxTokens: 640}, 128, 64, body.Limits{MaxPromptBytes: 2560, BlockBytes: 256}},
		"tokens win over blocks":        {Prefix{BlockTokens: 64, MaxTokens: 128, MaxBlocks: 9}, 0, 64, body.Limits{MaxPromptBytes: 512, BlockBytes: 256}},
		"blocks":                        {Prefix{BlockTokens: 64, MaxBlocks: 9}, 0, 64, body.Limits{MaxPromptBytes: 9 * 256, BlockBytes: 256}},
		"no limit is the largest body":  {Prefix{BlockTokens: 64}, 0, 64, body.Limits{MaxPromptBytes: maxHashedBytes, BlockBytes: 256}},
		"less than a block is nothing":  {Prefix{BlockTokens: 64, MaxTokens: 63}, 0, 64, body.Limits{MaxPromptBytes: 0, BlockBytes: 256}},
		"a limit beyond what is hashed": {Prefix{BlockTokens: 64, MaxTokens: 1 << 40}, 0, 64, body.Limits{MaxPromptBytes: maxHashedBytes, BlockBytes: 256}},
	} {
		blockTokens := test.prefix.Block(test.engineBlock)
		if limits := test.prefix.Limits(blockTokens); blockTokens != test.blockTokens || limits != test.limits {
			t.Errorf("%s: blocks of %d, %+v, want %d, %+v", name, blockTokens, limits, test.blockTokens, test.limits)
		}
	}
}

func TestDefaultIsDefaultText(t *testing.T) {
	loaded, err := Load(DefaultText())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(Default(), nil), describe(loaded, nil); got != want {
		t.Fatalf("default:\n%s\nits text:\n%s", got, want)
	}
}
