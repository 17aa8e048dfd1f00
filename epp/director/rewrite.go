package director

import (
	"encoding/json"

	"github.com/switchyard/switchyard/epp/rename"
)

// rewrite finds the model that the model server is to be asked for: by rule, else by header, else the one that the client
// named. Where the name cannot be replaced in the body, it stays.
func (w *work) rewrite() {
	asked := w.body.Model
	w.target = asked
	if w.body.ModelEnd == 0 {
		return
	}
	rule, target, ok := w.director.rules().Rewrite(w.x.pool.Key(), asked)
	if !ok {
		target = w.asked.RewriteTo
	}
	if target == "" {
		target = asked
	}
	w.target = target
	if ok {
		w.director.options.Metrics.ModelRewritten(rule, asked, target)
	}
	if target != asked {
		w.x.Rename = rename.New(target, asked)
	}
}

// Rewrites tells whether rules rewrite models of a pool's requests.
func (d *Director) Rewrites(pool *Pool) bool { return d.rules().Rewrites(pool.Key()) }

// quote writes a JSON string.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return `""` // a string always can be
	}
	return string(quoted)
}
