// Package usage reads from a model server's answer how many tokens a request cost.
//
// It must not keep the answer: it walks over the bytes as they come, holds a few numbers whatever the answer's size, and an
// answer that it cannot read is no error, only unknown usage. Nor must text that a model wrote count: numbers are taken
// from where the API puts them and nowhere else.
//
//	answer in pieces, cut anywhere -> Scanner -> Tokens; a proxy's own count -> FromProxy -> Tokens
package usage
