//! What the arguments ask for.

use crate::cmd::sort::args::{Check, SortArgs};
use crate::cmd::sort::recipe::Recipe;
use crate::failure::{Failure, Result};
use crate::record::blocks::Ending;
use crate::record::order::Order;
use crate::record::order::csv;
use crate::record::order::flags::Flags;

/// What records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lines, and what separates their fields.
    Text(Option<u8>),
    /// CSV with this delimiter.
    Csv(u8),
    Json,
}

/// The arguments, understood.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) form: Form,
    pub(crate) check: Option<Check>,
    flags: Flags,
    /// Of lines and JSON; of CSV it takes the header.
    order: Option<Order>,
    names: Vec<String>,
    is_stable: bool,
    is_unique: bool,
    separator: u8,
}

impl Plan {
    /// Understands arguments.
    ///
    /// # Errors
    ///
    /// They make no sense.
    pub(crate) fn of(args: &SortArgs) -> Result<Self> {
        let flags = args
            .flags()
            .map_err(|refused| Failure::Usage(refused.to_string()))?;
        let form = if args.csv {
            Form::Csv(args.field_separator.unwrap_or(b','))
        } else if args.field.is_empty() {
            Form::Text(args.field_separator)
        } else {
            Form::Json
        };
        let order = match form {
            Form::Text(tab) => Some(Order::of_text(&args.key, flags, tab)),
            Form::Json => Some(Order::of_json(&args.field, flags)),
            Form::Csv(_) => None,
        };
        let order = order.transpose().map_err(Failure::Usage)?;
        if let Form::Csv(b'"' | b'\n' | b'\r') = form {
            let reason = "a quote or the end of a line cannot separate fields of CSV";
            return Err(Failure::Usage(reason.to_owned()));
        }
        let check = args.check.or(args.check_quietly.then_some(Check::Quiet));
        if check.is_some() && args.common.files.len() > 1 {
            let reason = "of several files there is no order to be checked; name one";
            return Err(Failure::Usage(reason.to_owned()));
        }
        Ok(Self {
            form,
            check,
            flags,
            order,
            names: args.key.clone(),
            is_stable: args.stable,
            is_unique: args.unique,
            separator: if args.zero_terminated { 0 } else { b'\n' },
        })
    }

    /// Returns whether records need keys, and so have to be in memory.
    pub(crate) fn needs_whole(&self) -> bool {
        self.order.as_ref().is_none_or(|order| !order.is_empty())
    }

    /// Returns the byte that records end with.
    pub(crate) fn ending(&self) -> u8 {
        self.separator
    }

    /// Returns how records are told apart from the begin of an input on.
    pub(crate) fn endings(&self) -> Ending {
        match self.form {
            Form::Csv(delimiter) => Ending::Csv { delimiter },
            Form::Text(_) | Form::Json => Ending::Separator(self.separator),
        }
    }

    /// Returns the part of a record that is compared.
    #[inline]
    pub(crate) fn compared<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        match self.form {
            Form::Csv(_) => csv::without_end(record),
            Form::Text(_) | Form::Json => record,
        }
    }

    /// Returns how records are compared; of CSV, given its header, which empty files do not have.
    ///
    /// # Errors
    ///
    /// The header lacks a column.
    pub(crate) fn recipe(&self, header: Option<&[u8]>) -> Result<Recipe> {
        let order = match (&self.order, self.form) {
            (Some(order), _) => order.clone(),
            (None, Form::Csv(delimiter)) if header.is_some_and(|header| !header.is_empty()) => {
                let header = header.unwrap_or_default();
                let order = Order::of_csv(&self.names, self.flags, delimiter, header);
                order.map_err(Failure::new)?
            }
            (None, _) => {
                Order::of_text::<&str>(&[], Flags::default(), None).map_err(Failure::new)?
            }
        };
        Ok(Recipe::new(
            order,
            self.flags.reverse,
            self.is_stable,
            self.is_unique,
        ))
    }
}
