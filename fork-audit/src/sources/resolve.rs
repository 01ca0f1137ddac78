//! Resolves paths.

use super::{Names, Segments, Sources};

/// The largest number of steps. A name that is defined by itself would take more.
const DEPTH: usize = 24;

impl Sources<'_> {
    /// Returns the paths to which a path in `module` may resolve, each from the name of
    /// another crate on. `blocks` are the blocks around it, the innermost last.
    pub(crate) fn resolve(
        &self,
        module: usize,
        blocks: &[Names],
        path: &[String],
    ) -> Vec<Segments> {
        let mut found = vec![];
        self.look_up(module, blocks, path, None, DEPTH, &mut found);
        found
    }

    /// Adds to `found` what `path` resolves to. `skip` is a name that must not be resolved
    /// by its own definition.
    fn look_up(
        &self,
        module: usize,
        blocks: &[Names],
        path: &[String],
        skip: Option<&str>,
        depth: usize,
        found: &mut Vec<Segments>,
    ) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        match &**first {
            "" => return found.push(rest.to_vec()),
            "crate" => return self.walk(0, rest, depth, found),
            "self" => return self.walk(module, rest, depth, found),
            "super" => return self.walk(self.modules[module].parent, rest, depth, found),
            _ => {}
        }
        if let Some((block, outer)) = blocks.split_last() {
            let done = self.names(module, outer, block, path, skip, depth, found);
            if !done {
                self.look_up(module, outer, path, skip, depth, found);
            }
            return;
        }
        if self.within(module, path, skip, depth, found) {
            return;
        }
        if self.externs.contains(first) {
            found.push(path.to_vec());
        } else if self.old && module != 0 {
            self.walk(0, path, depth, found);
        }
    }

    /// Adds what `path` resolves to in `module`, as other modules write the path.
    fn walk(&self, module: usize, path: &[String], depth: usize, found: &mut Vec<Segments>) {
        match path.first().map(String::as_str) {
            None => {}
            Some("super") => self.walk(self.modules[module].parent, &path[1..], depth, found),
            Some("self") => self.walk(module, &path[1..], depth, found),
            Some(_) => {
                self.within(module, path, None, depth, found);
            }
        }
    }

    /// Adds what `path` resolves to by the names of `module`, and returns whether they
    /// define its first segment.
    fn within(
        &self,
        module: usize,
        path: &[String],
        skip: Option<&str>,
        depth: usize,
        found: &mut Vec<Segments>,
    ) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return true;
        };
        let (here, first) = (&self.modules[module], &path[0]);
        if let Some(child) = here.children.get(first)
            && skip != Some(first)
        {
            self.walk(*child, &path[1..], depth, found);
            // A function or a type may have the same name.
            if path.len() > 1 && !here.names.bound.contains_key(first) {
                return true;
            }
        }
        self.names(module, &[], &here.names, path, skip, depth, found)
    }

    /// Does the same for the names of a module or a block.
    #[expect(clippy::too_many_arguments, reason = "where, what, and the result")]
    fn names(
        &self,
        module: usize,
        outer: &[Names],
        names: &Names,
        path: &[String],
        skip: Option<&str>,
        depth: usize,
        found: &mut Vec<Segments>,
    ) -> bool {
        let (first, rest) = (&path[0], &path[1..]);
        if rest.is_empty() && names.variables.contains(first) {
            return true;
        }
        if skip != Some(first)
            && let Some(bound) = names.bound.get(first)
        {
            for target in bound {
                let whole = [target, rest].concat();
                // The `uuid` of `use uuid;` is the crate, not the name that it imports.
                let skip = (target.first() == Some(first)).then_some(&**first);
                self.look_up(module, outer, &whole, skip, depth, found);
            }
            return true;
        }
        if names.defined.contains(first) && skip != Some(first) {
            return true;
        }
        for glob in &names.globs {
            // The path of a glob is not resolved by that glob.
            if glob.first() != Some(first) {
                let whole = [glob, path].concat();
                self.look_up(module, outer, &whole, skip, depth / 2, found);
            }
        }
        // The name need not come from the glob, so the search continues.
        false
    }
}
