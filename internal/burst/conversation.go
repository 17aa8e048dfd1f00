package burst

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// conversation is one group's messages so far. Each turn repeats all of them and adds to them.
type conversation struct{ messages []message }

func newConversation(o *Options, group int) *conversation {
	return &conversation{[]message{{"system", prefix(o.Seed, group, o.PromptTokens)}}}
}

// ask adds a question.
func (c *conversation) ask(turn int) {
	c.messages = append(c.messages, message{"user", fmt.Sprintf("Turn %d: what follows from the text above?", turn)})
}

// hear adds the answer; a turn that failed has none, and the next one asks again.
func (c *conversation) hear(answer string) {
	if answer != "" {
		c.messages = append(c.messages, message{"assistant", answer})
	}
}

// bytesPerToken is what a token of English comes to.
const bytesPerToken = 4

var words = strings.Fields(`river stone market winter letter garden window engine paper silver morning harbor
	copper valley thunder candle bridge meadow lantern orchard compass timber velvet anchor pebble saddle
	marble feather kettle ribbon tunnel summit`)

// prefix writes a text of about so many tokens that differs from every other group's, from its first words on.
func prefix(seed uint64, group, tokens int) string {
	random := rand.New(rand.NewPCG(seed, uint64(group)))
	var b strings.Builder
	fmt.Fprintf(&b, "Document %d of collection %d.", group+1, seed)
	for b.Len() < tokens*bytesPerToken {
		b.WriteByte(' ')
		b.WriteString(words[random.IntN(len(words))])
	}
	return b.String()
}

// requestID is unlike any other in the same burst, and the same in a repetition of it.
func requestID(seed uint64, index int) string {
	random := rand.New(rand.NewPCG(seed, uint64(index)))
	return fmt.Sprintf("burst-%016x-%d", random.Uint64(), index+1)
}
