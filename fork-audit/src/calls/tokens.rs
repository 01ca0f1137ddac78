//! Looks for paths among the tokens of macros and attributes.

use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use syn::{Item, Meta};

use super::Form;
use super::visitor::Visitor;
use crate::sources::{Names, Segments};

impl Visitor<'_> {
    /// Looks for paths in an attribute.
    pub(super) fn meta(&mut self, meta: &Meta) {
        let silent = ["doc", "cfg", "allow", "expect", "deprecated"];
        if let Meta::List(list) = meta
            && !silent.iter().any(|name| list.path.is_ident(name))
        {
            if list.path.is_ident("cfg_attr") {
                for meta in self.conditions.conditional(list) {
                    self.meta(&meta);
                }
            } else {
                self.tokens(list.tokens.clone(), None, Form::Attribute, false);
            }
        }
    }

    /// Looks for paths among tokens. A path of one name counts only if its arguments follow,
    /// unless `single` is set.
    pub(super) fn tokens(
        &mut self,
        tokens: TokenStream,
        at: Option<Span>,
        form: Form,
        single: bool,
    ) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let names = imports(&tokens);
        self.within(names, |this| this.token_trees(&tokens, at, form, single));
    }

    fn token_trees(&mut self, tokens: &[TokenTree], at: Option<Span>, form: Form, single: bool) {
        let mut index = 0;
        while index < tokens.len() {
            match &tokens[index] {
                TokenTree::Group(group) => {
                    self.tokens(group.stream(), at, form, false);
                }
                TokenTree::Ident(ident) if !follows(tokens, index, &['.', '\'']) => {
                    let (path, end) = path_of(tokens, index);
                    let is_call = matches!(tokens.get(end), Some(TokenTree::Group(group))
                        if group.delimiter() == Delimiter::Parenthesis);
                    let is_defined = index > 0
                        && matches!(&tokens[index - 1], TokenTree::Ident(i) if i == "fn" || i == "let");
                    let is_local = follows(tokens, index, &['$']) && ident != "crate";
                    if !is_defined && !is_local && (path.len() > 1 || is_call || single) {
                        self.path(&path, at.unwrap_or(ident.span()), form);
                    }
                    index = end;
                    continue;
                }
                // `<Uuid>::new_v4`.
                TokenTree::Punct(open) if open.as_char() == '<' => {
                    if let Some((path, end)) = qualified(tokens, index) {
                        self.path(&path, at.unwrap_or(open.span()), form);
                        index = end;
                        continue;
                    }
                }
                // A string in an attribute may hold a path or an expression.
                TokenTree::Literal(literal) if form == Form::Attribute => {
                    let text = syn::parse_str::<syn::LitStr>(&literal.to_string());
                    let text = text.map(|text| text.value().parse::<TokenStream>());
                    if let Ok(Ok(inner)) = text {
                        let inner = inner.into_iter().collect::<Vec<_>>();
                        let (_, end) = path_of(&inner, 0);
                        let is_path = !inner.is_empty() && end == inner.len();
                        self.token_trees(&inner, at.or(Some(literal.span())), form, is_path);
                    }
                }
                _ => {}
            }
            index += 1;
        }
    }
}

/// Returns whether one of `marks` precedes the token at `index`. The two dots of a range do
/// not count.
fn follows(tokens: &[TokenTree], index: usize, marks: &[char]) -> bool {
    let punct = |index: usize| match tokens.get(index) {
        Some(TokenTree::Punct(punct)) => Some(punct.as_char()),
        _ => None,
    };
    let before = index.checked_sub(1).and_then(punct);
    let twice = index.checked_sub(2).and_then(punct);
    before.is_some_and(|mark| marks.contains(&mark)) && (before != Some('.') || twice != before)
}

/// Returns whether `::` is at `index`.
fn colons(tokens: &[TokenTree], index: usize) -> bool {
    matches!(
        (tokens.get(index), tokens.get(index + 1)),
        (Some(TokenTree::Punct(a)), Some(TokenTree::Punct(b)))
            if a.as_char() == ':' && a.spacing() == Spacing::Joint && b.as_char() == ':'
    )
}

/// Returns the path that begins with the name at `index`, without generics, and the index
/// after the path.
fn path_of(tokens: &[TokenTree], index: usize) -> (Segments, usize) {
    let mut path = vec![];
    let mut end = index;
    while let Some(TokenTree::Ident(ident)) = tokens.get(end) {
        path.push(ident.to_string());
        end += 1;
        if !colons(tokens, end) {
            break;
        }
        match tokens.get(end + 2) {
            Some(TokenTree::Ident(_)) => end += 2,
            Some(TokenTree::Punct(open)) if open.as_char() == '<' => {
                let Some(close) = closing(tokens, end + 2) else {
                    break;
                };
                end = close + 1;
                match (colons(tokens, end), tokens.get(end + 2)) {
                    (true, Some(TokenTree::Ident(_))) => end += 2,
                    _ => break,
                }
            }
            _ => break,
        }
    }
    (path, end)
}

/// Returns the index of the `>` that closes the `<` at `index`.
fn closing(tokens: &[TokenTree], index: usize) -> Option<usize> {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(index) {
        if let TokenTree::Punct(punct) = token {
            match punct.as_char() {
                '<' => depth += 1,
                '>' if follows(tokens, index, &['-', '=']) => {}
                '>' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(index);
                    }
                }
                ';' => return None,
                _ => {}
            }
        }
    }
    None
}

/// Returns the path `<Type>::name` and the index after it, if such a path is at `index`.
fn qualified(tokens: &[TokenTree], index: usize) -> Option<(Segments, usize)> {
    let (mut path, end) = path_of(tokens, index + 1);
    let is_closed = matches!(tokens.get(end), Some(TokenTree::Punct(p)) if p.as_char() == '>');
    if path.is_empty() || !is_closed || !colons(tokens, end + 1) {
        return None;
    }
    let (rest, end) = path_of(tokens, end + 3);
    path.extend(rest);
    Some((path, end))
}

/// Returns the names that the `use` items among `tokens` import.
fn imports(tokens: &[TokenTree]) -> Names {
    let mut names = Names::default();
    let mut rest = tokens;
    while let Some(start) = rest
        .iter()
        .position(|token| matches!(token, TokenTree::Ident(ident) if ident == "use"))
    {
        rest = &rest[start..];
        let end = rest
            .iter()
            .position(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ';'));
        let Some(end) = end else {
            break;
        };
        let item: TokenStream = rest[..=end].iter().cloned().collect();
        if let Ok(item) = syn::parse2::<syn::ItemUse>(item) {
            names.item(&Item::Use(item));
        }
        rest = &rest[end..];
    }
    names
}
