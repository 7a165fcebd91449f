// Package hclsafe parses HCL within bounds. The HCL parser recurses once per
// nesting level and per operator, so that a hostile file can overflow the
// stack, which no recover stops: size, depth and length are checked on the
// token stream before the parser sees the text.
package hclsafe

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/appgovd/appgovd/internal/diag"
)

// Limits of one file.
const (
	MaxBytes     = 1 << 20 // of text
	MaxDepth     = 100     // of brackets, braces, parentheses and template interpolations
	MaxOperators = 2000    // within one expression outside brackets
)

// Parse checks the limits, then parses src. The file is nil when a limit is
// exceeded; else it is what the parser could make of it.
func Parse(name string, src []byte) (*hcl.File, hcl.Diagnostics) {
	if diags := Check(name, src); diags.HasErrors() {
		return nil, diags
	}
	return hclsyntax.ParseConfig(src, name, hcl.InitialPos)
}

// Check reports the first limit that src exceeds.
func Check(name string, src []byte) hcl.Diagnostics {
	if len(src) > MaxBytes {
		return refuse(hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}, "File too large",
			fmt.Sprintf("The file has %d bytes; at most %d are read. Split it.", len(src), MaxBytes))
	}
	tokens, diags := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil // the parser says it better, and it stops at such tokens
	}
	var s scan
	for _, t := range tokens {
		if d := s.step(t); d != nil {
			return d
		}
	}
	return nil
}

type scan struct {
	depth     int
	operators []int // per depth
}

func (s *scan) step(t hclsyntax.Token) hcl.Diagnostics {
	switch t.Type {
	case hclsyntax.TokenOParen, hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
		s.depth++
		if s.depth > MaxDepth {
			return refuse(t.Range, "Nested too deeply", fmt.Sprintf("More than %d levels of brackets. Name parts of the expression or use a list.", MaxDepth))
		}
		s.set(0)
	case hclsyntax.TokenCParen, hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
		s.depth = max(0, s.depth-1)
	case hclsyntax.TokenNewline, hclsyntax.TokenComma:
		if t.Type == hclsyntax.TokenComma || s.depth == 0 {
			s.set(0)
		}
	default:
		return s.operator(t)
	}
	return nil
}

func (s *scan) operator(t hclsyntax.Token) hcl.Diagnostics {
	switch t.Type {
	case hclsyntax.TokenIdent, hclsyntax.TokenNumberLit, hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit, hclsyntax.TokenComment, hclsyntax.TokenEOF:
		return nil
	}
	s.grow()
	s.operators[s.depth]++
	if s.operators[s.depth] > MaxOperators {
		return refuse(t.Range, "Expression too long", fmt.Sprintf("More than %d operators in one expression. Use a list or split the rule.", MaxOperators))
	}
	return nil
}

func (s *scan) grow() {
	for len(s.operators) <= s.depth {
		s.operators = append(s.operators, 0)
	}
}

func (s *scan) set(n int) {
	s.grow()
	s.operators[s.depth] = n
}

func refuse(r hcl.Range, summary, detail string) hcl.Diagnostics {
	return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &r, Extra: diag.Code("limit_exceeded")}}
}
