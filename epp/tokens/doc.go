// Package tokens learns the tokens of a prompt, as the model reads it: from the render endpoints of a vLLM server, or from
// bodies that bring them. It must not wait longer than it is told to, and it does not guess: what it cannot learn is an
// error, and the caller goes on with an estimate.
//
//	request body -> Client.Render -> POST /v1/.../render -> Prompt
package tokens
