//! JSON text -> filter, by the grammar of API.md section 6.1. Strict and lenient readers differ in one rule (several
//! keys in one object) and one number (constraints).
//!
//! Work is bounded: text length, depth and constraints all have a limit, and each level scans its text once. A member
//! that appears twice is refused in both modes: keeping either would answer as if the other had not been there.

use serde_json::value::RawValue;

use super::fault::Path;
use super::{Condition, Filter, FilterFault, Scalar, Strictness};
use crate::json::{self, Kind, Members};
use crate::limits;

impl Filter {
    /// Reads a filter from its JSON text. (`null` is for the caller to take as absent.)
    ///
    /// # Errors
    /// When the text breaks the grammar or exceeds a limit.
    pub fn parse(json: &str, strictness: Strictness) -> Result<Self, FilterFault> {
        let mut parser = Parser {
            strictness,
            constraints: 0,
        };
        if json.len() > limits::FILTER_BYTES {
            return parser.refuse("filter", &Path::Root, "longer than 1 MiB");
        }
        parser.filter(json, &Path::Root, 1)
    }
}

struct Parser {
    strictness: Strictness,
    constraints: usize,
}

type Parsed<T> = Result<T, FilterFault>;

impl Parser {
    fn refuse<T>(&self, operator: &str, path: &Path<'_>, reason: &'static str) -> Parsed<T> {
        Err(FilterFault::new(self.strictness, operator, path, reason))
    }

    /// `filter := { field : scalar } | { field : ops } | { "$and" : [filter+] } | { "$or" : [filter+] }`
    fn filter(&mut self, text: &str, path: &Path<'_>, depth: usize) -> Parsed<Filter> {
        let members = self.members(text, "filter", path)?;
        if members.is_empty() {
            return self.refuse("filter", path, "must not be empty");
        }
        if members.len() > 1 && self.strictness == Strictness::Strict {
            return self.refuse("filter", path, "must have exactly one key");
        }
        let mut filters = Vec::with_capacity(members.len());
        for (key, raw) in &members {
            let path = Path::Member {
                parent: path,
                name: key,
            };
            match key.as_str() {
                "$and" => filters.push(Filter::And(self.filters("$and", raw, &path, depth)?)),
                "$or" => filters.push(Filter::Or(self.filters("$or", raw, &path, depth)?)),
                operator if operator.starts_with('$') => {
                    return self.refuse(operator, &path, "only $and and $or can stand before a field");
                }
                field => self.field(field, raw, &path, &mut filters)?,
            }
        }
        Ok(conjunction(filters))
    }

    /// The operand of `$and` and `$or`.
    fn filters(&mut self, operator: &str, raw: &RawValue, path: &Path<'_>, depth: usize) -> Parsed<Vec<Filter>> {
        let elements = self.elements(operator, raw, path)?;
        if depth >= limits::FILTER_DEPTH {
            return self.refuse(operator, path, "nested too deeply");
        }
        let mut filters = Vec::with_capacity(elements.len());
        for (position, element) in elements.into_iter().enumerate() {
            let path = Path::Element { parent: path, position };
            filters.push(self.filter(element.get(), &path, depth + 1)?);
        }
        Ok(filters)
    }

    /// What stands under a field: a scalar, or operators that must all hold.
    fn field(&mut self, field: &str, raw: &RawValue, path: &Path<'_>, filters: &mut Vec<Filter>) -> Parsed<()> {
        let mut push = |condition| {
            filters.push(Filter::Field {
                key: field.to_owned(),
                condition,
            })
        };
        if json::kind(raw) != Kind::Object {
            let condition = Condition::Eq(self.scalar("$eq", raw, path)?);
            self.spend("$eq", 1, path)?;
            push(condition);
            return Ok(());
        }
        let operators = self.members(raw.get(), "field", path)?;
        if operators.is_empty() {
            return self.refuse("field", path, "operators must not be empty");
        }
        for (operator, operand) in &operators {
            let path = Path::Member {
                parent: path,
                name: operator,
            };
            let condition = self.condition(operator, operand, &path)?;
            push(condition);
        }
        Ok(())
    }

    fn condition(&mut self, operator: &str, operand: &RawValue, path: &Path<'_>) -> Parsed<Condition> {
        let condition = match operator {
            "$eq" => Condition::Eq(self.scalar(operator, operand, path)?),
            "$ne" => Condition::Ne(self.scalar(operator, operand, path)?),
            "$gt" => Condition::Gt(self.number(operator, operand, path)?),
            "$gte" => Condition::Gte(self.number(operator, operand, path)?),
            "$lt" => Condition::Lt(self.number(operator, operand, path)?),
            "$lte" => Condition::Lte(self.number(operator, operand, path)?),
            "$in" => Condition::In(self.scalars(operator, operand, path)?),
            "$nin" => Condition::Nin(self.scalars(operator, operand, path)?),
            "$exists" => match json::kind(operand) {
                Kind::Bool(wanted) => Condition::Exists(wanted),
                _ => return self.refuse(operator, path, "operand must be true or false"),
            },
            "$startsWith" => match self.scalar(operator, operand, path)? {
                Scalar::String(prefix) => Condition::StartsWith(prefix),
                _ => return self.refuse(operator, path, "operand must be a string"),
            },
            _ => return self.refuse(operator, path, "not an operator of a field"),
        };
        self.spend(operator, condition.constraint_count(), path)?;
        Ok(condition)
    }

    fn scalars(&mut self, operator: &str, raw: &RawValue, path: &Path<'_>) -> Parsed<Vec<Scalar>> {
        let elements = self.elements(operator, raw, path)?;
        let scalar = |(position, element)| self.scalar(operator, element, &Path::Element { parent: path, position });
        elements.into_iter().enumerate().map(scalar).collect()
    }

    fn scalar(&self, operator: &str, raw: &RawValue, path: &Path<'_>) -> Parsed<Scalar> {
        match json::kind(raw) {
            Kind::String => match json::string(raw) {
                Some(text) => Ok(Scalar::String(text.into_owned())),
                None => self.refuse(operator, path, "string has a lone surrogate"),
            },
            Kind::Number => self.number(operator, raw, path).map(Scalar::Number),
            Kind::Bool(truth) => Ok(Scalar::Bool(truth)),
            Kind::Null | Kind::Array | Kind::Object => {
                self.refuse(operator, path, "operand must be a string, a number or a boolean")
            }
        }
    }

    fn number(&self, operator: &str, raw: &RawValue, path: &Path<'_>) -> Parsed<f64> {
        let value = if json::kind(raw) == Kind::Number {
            json::number(raw.get())
        } else {
            None
        };
        match value {
            Some(value) => Ok(value),
            None => self.refuse(operator, path, "operand must be a finite number"),
        }
    }

    fn members<'a>(&self, text: &'a str, operator: &str, path: &Path<'_>) -> Parsed<Vec<(String, &'a RawValue)>> {
        let Ok(Members(members)) = Members::parse(text) else {
            return self.refuse(operator, path, "must be a JSON object");
        };
        let mut seen = std::collections::HashSet::with_capacity(members.len());
        match members.iter().find(|(name, _)| !seen.insert(name.as_str())) {
            Some((name, _)) => self.refuse(name, &Path::Member { parent: path, name }, "given twice"),
            None => Ok(members),
        }
    }

    fn elements<'a>(&self, operator: &str, raw: &'a RawValue, path: &Path<'_>) -> Parsed<Vec<&'a RawValue>> {
        match json::elements(raw) {
            Some(elements) if !elements.is_empty() => Ok(elements),
            _ => self.refuse(operator, path, "operand must be a non-empty array"),
        }
    }

    fn spend(&mut self, operator: &str, constraints: usize, path: &Path<'_>) -> Parsed<()> {
        self.constraints += constraints;
        if self.constraints > self.strictness.most_constraints() {
            return self.refuse(operator, path, "the filter has too many constraints");
        }
        Ok(())
    }
}

/// One filter as it is, several as AND.
fn conjunction(mut filters: Vec<Filter>) -> Filter {
    match filters.pop() {
        Some(only) if filters.is_empty() => only,
        last => {
            filters.extend(last);
            Filter::And(filters)
        }
    }
}
