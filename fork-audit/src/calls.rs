//! Finds the places in a package's sources that name a function which draws.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cargo_metadata::Package;
use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr, ImplItem, Item, Meta, Pat, Stmt};

use crate::sources::{Conditions, Names, Segments, Sources, attributes, plain, segments, starts};

/// What is looked for in a package.
pub(crate) struct Wanted {
    /// Tells findings apart.
    pub(crate) finding: usize,
    /// The crate that has the functions, by the name that it gives itself.
    pub(crate) krate: String,
    /// The name by which the package calls the crate, if it depends on it.
    pub(crate) local: Option<String>,
    pub(crate) functions: &'static [&'static [&'static str]],
}

/// In what form a function is named.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Form {
    Call,
    /// Without a call, as in `unwrap_or_else(Uuid::new_v4)`.
    Value,
    /// In the tokens of a macro's call or definition.
    Macro,
    /// In an attribute, such as `#[serde(default = "Uuid::new_v4")]`.
    Attribute,
}

impl Form {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Value => "value",
            Self::Macro => "macro",
            Self::Attribute => "attribute",
        }
    }
}

/// A place in a source.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Call {
    pub(crate) file: String,
    /// Both from 1 on; columns count characters.
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) form: Form,
    /// The path that the name stands for.
    pub(crate) path: String,
}

/// What was seen in a package.
#[derive(Default)]
pub(crate) struct Seen {
    /// By finding.
    pub(crate) calls: BTreeMap<usize, BTreeSet<Call>>,
    /// The files that could not be parsed.
    pub(crate) unread: BTreeSet<String>,
    /// Whether there was any source to look at.
    pub(crate) has_sources: bool,
}

/// Looks through the library of a package, and through its programs if they are
/// linked.
pub(crate) fn look(
    package: &Package,
    with_programs: bool,
    conditions: &Conditions,
    externs: &BTreeSet<String>,
    wanted: &[Wanted],
) -> Seen {
    let mut seen = Seen::default();
    let starts = starts(package, with_programs);
    seen.has_sources = starts.iter().any(|(root, _)| root.is_file());
    let parents = starts.iter().filter_map(|(root, _)| root.parent());
    if !parents.into_iter().any(|top| mentions(top, wanted)) {
        return seen;
    }
    for (root, with_orphans) in starts {
        let sources = Sources::read(package, &root, with_orphans, conditions, externs);
        seen.unread.extend(sources.unread.iter().cloned());
        for source in &sources.files {
            let mut visitor = Visitor {
                sources: &sources,
                conditions,
                wanted,
                module: source.module,
                file: &source.file,
                blocks: vec![],
                selves: vec![],
                seen: &mut seen,
            };
            visitor.items(&source.items);
        }
    }
    seen
}

/// Whether a file has the last name of a function that is looked for. It saves
/// the parsing of most packages.
fn mentions(directory: &Path, wanted: &[Wanted]) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return mentions(&path, wanted);
        }
        let is_source = path.extension().is_some_and(|e| e == "rs");
        let text = is_source.then(|| fs::read_to_string(&path));
        let Some(Ok(text)) = text else {
            // What cannot be read is told as such later.
            return is_source;
        };
        wanted.iter().any(|wanted| {
            let mut functions = wanted.functions.iter();
            functions.any(|path| path.last().is_some_and(|last| text.contains(last)))
        })
    })
}

/// An `impl` or a trait that is being read.
#[derive(Default)]
struct Myself {
    ty: Option<Segments>,
    associated: BTreeMap<String, Segments>,
}

struct Visitor<'a> {
    sources: &'a Sources<'a>,
    conditions: &'a Conditions<'a>,
    wanted: &'a [Wanted],
    module: usize,
    file: &'a str,
    blocks: Vec<Names>,
    selves: Vec<Myself>,
    seen: &'a mut Seen,
}

impl Visitor<'_> {
    fn items(&mut self, items: &[Item]) {
        for item in items {
            self.visit_item(item);
        }
    }

    fn within(&mut self, names: Names, inner: impl FnOnce(&mut Self)) {
        self.blocks.push(names);
        inner(self);
        self.blocks.pop();
    }

    /// Notes a path if it stands for a function that is looked for.
    fn path(&mut self, path: &[String], span: Span, form: Form) {
        let path = self.without_self(path.to_vec());
        let candidates = self.sources.resolve(self.module, &self.blocks, &path);
        for wanted in self.wanted {
            // The glob import of another crate may also give the name: the shortest
            // path is the likeliest.
            let found = candidates.iter().filter(|path| wanted.is(path));
            let found = found.min_by_key(|path| path.len());
            if let Some(found) = found {
                let start = span.start();
                let calls = self.seen.calls.entry(wanted.finding).or_default();
                // A place has one form: an attribute is also tokens.
                let is_noted = calls.iter().any(|call| {
                    call.file == self.file
                        && (call.line, call.column) == (start.line, start.column + 1)
                });
                if !is_noted {
                    calls.insert(Call {
                        file: self.file.to_owned(),
                        line: start.line,
                        column: start.column + 1,
                        form,
                        path: found.join("::"),
                    });
                }
            }
        }
    }

    /// Replaces `Self` and `Self::Name` where the `impl` says what they are.
    fn without_self(&self, path: Segments) -> Segments {
        let Some(myself) = self.selves.last() else {
            return path;
        };
        match &*path {
            [first, second, rest @ ..] if first == "Self" => {
                if let Some(associated) = myself.associated.get(second) {
                    return [associated, rest].concat();
                }
                match &myself.ty {
                    Some(ty) => [ty, &path[1..]].concat(),
                    None => path,
                }
            }
            _ => path,
        }
    }

    fn expr_path(&mut self, expr: &syn::ExprPath, form: Form) {
        let span = expr
            .qself
            .as_ref()
            .map_or_else(|| first_span(&expr.path), |qself| qself.lt_token.span);
        match &expr.qself {
            None => self.path(&plain(&expr.path), span, form),
            // `<Uuid>::new_v4`, and `<Id as Trait>::name` is another function.
            Some(qself) if qself.position == 0 => {
                if let Some(ty) = segments(&qself.ty) {
                    let names = plain(&expr.path);
                    let names = names.into_iter().filter(|name| !name.is_empty());
                    let whole: Vec<_> = ty.into_iter().chain(names).collect();
                    self.path(&whole, span, form);
                }
            }
            // `<T as Trait>::Id::new_v4()` in the `impl` of the trait.
            Some(qself) => {
                let names = &plain(&expr.path)[qself.position..];
                if segments(&qself.ty).is_some_and(|ty| ty == ["Self"]) {
                    self.path(&[&["Self".to_owned()], names].concat(), span, form);
                }
            }
        }
    }

    fn meta(&mut self, meta: &Meta) {
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

    /// Looks for paths among tokens. A path of one name must be followed by a
    /// call, unless `single` is set.
    fn tokens(&mut self, tokens: TokenStream, at: Option<Span>, form: Form, single: bool) {
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
                // Strings in attributes hold paths and expressions.
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

impl Wanted {
    /// Whether a path, from the name of a crate on, is one of the functions.
    fn is(&self, path: &[String]) -> bool {
        let (Some(first), true) = (path.first(), path.len() > 1) else {
            return false;
        };
        self.functions.iter().any(|function| {
            let Some(split) = path.len().checked_sub(function.len()) else {
                return false;
            };
            let (before, last) = path.split_at(split);
            // Modules may lie between: `uuid::timestamp::Timestamp::now`.
            let modules = |names: &[String]| {
                names
                    .iter()
                    .all(|name| name.chars().all(|c| !c.is_uppercase()))
            };
            if last != *function || !modules(before) || before.is_empty() {
                return false;
            }
            match &self.local {
                Some(local) if local == first => true,
                // What another crate passes on: `sqlx::types::Uuid`, `other::rand::rng`.
                _ => function.len() > 1 || before[1..].contains(&self.krate),
            }
        })
    }
}

fn first_span(path: &syn::Path) -> Span {
    let colon = path.leading_colon.map(|colon| colon.spans[0]);
    let first = path.segments.first().map(|first| first.ident.span());
    colon.or(first).unwrap_or_else(Span::call_site)
}

/// Whether the token at `index` follows one of `marks`, and not two of them.
fn follows(tokens: &[TokenTree], index: usize, marks: &[char]) -> bool {
    let punct = |index: usize| match tokens.get(index) {
        Some(TokenTree::Punct(punct)) => Some(punct.as_char()),
        _ => None,
    };
    let before = index.checked_sub(1).and_then(punct);
    let twice = index.checked_sub(2).and_then(punct);
    before.is_some_and(|mark| marks.contains(&mark)) && (before != Some('.') || twice != before)
}

/// Whether `::` is at `index`.
fn colons(tokens: &[TokenTree], index: usize) -> bool {
    matches!(
        (tokens.get(index), tokens.get(index + 1)),
        (Some(TokenTree::Punct(a)), Some(TokenTree::Punct(b)))
            if a.as_char() == ':' && a.spacing() == Spacing::Joint && b.as_char() == ':'
    )
}

/// The path that begins with the name at `index`, without generics, and the index
/// after it.
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

/// The index of the `>` that closes the `<` at `index`.
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

/// `<Type>::name`, if that is at `index`.
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

/// The `use` items among tokens.
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

/// The names that a block's own items define or import.
fn block_names(block: &Block, conditions: &Conditions) -> Names {
    let mut names = Names::default();
    for statement in &block.stmts {
        if let Stmt::Item(item) = statement
            && !conditions.exclude(attributes(item))
        {
            names.item(item);
        }
    }
    names
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if self.conditions.exclude(attributes(item)) {
            return;
        }
        match item {
            Item::Mod(item) => {
                if let Some((_, items)) = &item.content
                    && let Some(child) = self.sources.child_of(self.module, &item.ident)
                {
                    let outer = std::mem::replace(&mut self.module, child);
                    let blocks = std::mem::take(&mut self.blocks);
                    self.items(items);
                    (self.module, self.blocks) = (outer, blocks);
                }
            }
            Item::Macro(item) => {
                let tokens = item.mac.tokens.clone();
                self.tokens(tokens, None, Form::Macro, false);
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let mut myself = Myself {
            ty: segments(&item.self_ty),
            ..Myself::default()
        };
        for inner in &item.items {
            if let ImplItem::Type(associated) = inner
                && let Some(ty) = segments(&associated.ty)
            {
                myself.associated.insert(associated.ident.to_string(), ty);
            }
        }
        self.selves.push(myself);
        visit::visit_item_impl(self, item);
        self.selves.pop();
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.selves.push(Myself::default());
        visit::visit_item_trait(self, item);
        self.selves.pop();
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attrs = match item {
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Const(item) => &item.attrs,
            _ => return visit::visit_impl_item(self, item),
        };
        if !self.conditions.exclude(attrs) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(Names::default(), |this| visit::visit_item_fn(this, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within(Names::default(), |this| {
            visit::visit_impl_item_fn(this, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.within(Names::default(), |this| {
            visit::visit_trait_item_fn(this, item);
        });
    }

    fn visit_block(&mut self, block: &'ast Block) {
        let names = block_names(block, self.conditions);
        self.within(names, |this| visit::visit_block(this, block));
    }

    fn visit_expr_closure(&mut self, expr: &'ast syn::ExprClosure) {
        self.within(Names::default(), |this| {
            visit::visit_expr_closure(this, expr);
        });
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !self.conditions.exclude(&arm.attrs) {
            self.within(Names::default(), |this| visit::visit_arm(this, arm));
        }
    }

    fn visit_expr_for_loop(&mut self, expr: &'ast syn::ExprForLoop) {
        self.visit_expr(&expr.expr);
        self.within(Names::default(), |this| {
            this.visit_pat(&expr.pat);
            this.visit_block(&expr.body);
        });
    }

    fn visit_expr_if(&mut self, expr: &'ast syn::ExprIf) {
        self.within(Names::default(), |this| visit::visit_expr_if(this, expr));
    }

    fn visit_expr_let(&mut self, expr: &'ast syn::ExprLet) {
        self.visit_expr(&expr.expr);
        self.visit_pat(&expr.pat);
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if self.conditions.exclude(&local.attrs) {
            return;
        }
        // `let rng = rng();` calls the function of that name.
        if let Some(init) = &local.init {
            self.visit_expr(&init.expr);
            if let Some((_, diverge)) = &init.diverge {
                self.visit_expr(diverge);
            }
        }
        self.visit_pat(&local.pat);
    }

    fn visit_pat_ident(&mut self, pat: &'ast syn::PatIdent) {
        if let Some(block) = self.blocks.last_mut() {
            block.variables.insert(pat.ident.to_string());
        }
        visit::visit_pat_ident(self, pat);
    }

    fn visit_pat(&mut self, pat: &'ast Pat) {
        // The type of a pattern calls nothing, and a path in it neither.
        if !matches!(pat, Pat::Path(_)) {
            visit::visit_pat(self, pat);
        }
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        if let Expr::Call(call) = expr
            && let Expr::Path(function) = &*call.func
        {
            self.expr_path(function, Form::Call);
            for argument in &call.args {
                self.visit_expr(argument);
            }
            return;
        }
        visit::visit_expr(self, expr);
    }

    fn visit_expr_path(&mut self, expr: &'ast syn::ExprPath) {
        self.expr_path(expr, Form::Value);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.tokens(mac.tokens.clone(), None, Form::Macro, false);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        self.meta(&attribute.meta);
    }
}
