//! Visits the syntax of a source, and notes the paths that name a wanted function.

use std::collections::BTreeMap;

use proc_macro2::Span;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr, ImplItem, Item, Pat, Stmt};

use super::{Call, Form, Seen, Wanted};
use crate::sources::{Conditions, Names, Segments, Sources, attributes, plain, segments};

/// What `Self` means in an `impl` or a trait.
#[derive(Default)]
pub(super) struct Myself {
    /// The type of the `impl`; none in a trait.
    ty: Option<Segments>,
    /// The types by the names of the associated types.
    associated: BTreeMap<String, Segments>,
}

pub(super) struct Visitor<'a> {
    pub(super) sources: &'a Sources<'a>,
    pub(super) conditions: &'a Conditions<'a>,
    pub(super) wanted: &'a [Wanted],
    pub(super) module: usize,
    pub(super) file: &'a str,
    /// The names of the enclosing blocks, the innermost last.
    pub(super) blocks: Vec<Names>,
    pub(super) selves: Vec<Myself>,
    pub(super) seen: &'a mut Seen,
}

impl Visitor<'_> {
    pub(super) fn items(&mut self, items: &[Item]) {
        for item in items {
            self.visit_item(item);
        }
    }

    /// Calls `inner` with the names of one more block.
    pub(super) fn within(&mut self, names: Names, inner: impl FnOnce(&mut Self)) {
        self.blocks.push(names);
        inner(self);
        self.blocks.pop();
    }

    /// Notes a path if it resolves to a wanted function.
    pub(super) fn path(&mut self, path: &[String], span: Span, form: Form) {
        let path = self.without_self(path.to_vec());
        let candidates = self.sources.resolve(self.module, &self.blocks, &path);
        for wanted in self.wanted {
            // A glob import of another crate may also define the name. The shortest path is
            // the most likely one.
            let found = candidates.iter().filter(|path| wanted.is(path));
            let found = found.min_by_key(|path| path.len());
            if let Some(found) = found {
                let start = span.start();
                let calls = self.seen.calls.entry(wanted.finding).or_default();
                // A place is noted once: the visitor may reach it in two forms.
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

    /// Replaces `Self` and `Self::Name` by the types that the `impl` gives them.
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
            // `<Uuid>::new_v4`. The function of `<Id as Trait>::name` is the trait's.
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
}

fn first_span(path: &syn::Path) -> Span {
    let colon = path.leading_colon.map(|colon| colon.spans[0]);
    let first = path.segments.first().map(|first| first.ident.span());
    colon.or(first).unwrap_or_else(Span::call_site)
}

/// Returns the names that the items of a block define or import.
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
        // The variable is not in scope yet: `let rng = rng();` calls the function.
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
        // A path in a pattern calls nothing.
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
