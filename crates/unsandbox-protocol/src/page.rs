// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages of the list of jobs: what is asked for, by the same rule at every backend, and what is given.

use crate::error::Error;
use crate::limits::PAGE_MAX_JOBS;
use crate::result::Job;
use crate::rules::shown;

/// The part of a list that is asked for; by default all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// The most jobs; `None` for as many as there are.
    pub limit: Option<usize>,
    /// The id of a job: only those behind it in the order of the list. It may have ended since it was listed.
    pub after: Option<String>,
}

impl Page {
    /// Whether it is the whole list.
    pub fn is_all(&self) -> bool {
        *self == Page::default()
    }

    /// Refuses a page that no backend gives.
    ///
    /// # Errors
    ///
    /// ARGUMENT for a limit of 0 or above [`PAGE_MAX_JOBS`], and for an empty id.
    pub fn check(&self) -> Result<(), Error> {
        if let Some(limit) = self.limit.filter(|limit| !(1..=PAGE_MAX_JOBS).contains(limit)) {
            return Err(wrong_limit(&limit.to_string()));
        }
        match self.after.as_deref() {
            Some("") => {
                Err(Error::argument("after is empty; it takes the id of a job of this key"))
            }
            _ => Ok(()),
        }
    }

    /// Makes the page of jobs that begin behind `after`.
    pub fn of(&self, mut jobs: Vec<Job>) -> JobPage {
        let has_more = self.limit.is_some_and(|limit| jobs.len() > limit);
        if let Some(limit) = self.limit {
            jobs.truncate(limit);
        }
        JobPage { jobs, has_more }
    }

    /// Cuts the page out of the whole list, for a backend that cannot ask for a part of it.
    ///
    /// # Errors
    ///
    /// [`unknown_after`] if the list does not have that job.
    pub fn cut(&self, mut jobs: Vec<Job>) -> Result<JobPage, Error> {
        if let Some(after) = &self.after {
            let at = jobs.iter().position(|job| job.job_id == *after);
            let at = at.ok_or_else(|| unknown_after(after))?;
            jobs.drain(..=at);
        }
        Ok(self.of(jobs))
    }
}

/// A page of a list.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct JobPage {
    /// Its jobs, the one that was submitted first at the beginning.
    pub jobs: Vec<Job>,
    /// Whether the list goes on behind it. Never without a limit.
    pub has_more: bool,
}

impl From<Vec<Job>> for JobPage {
    fn from(jobs: Vec<Job>) -> JobPage {
        JobPage { jobs, has_more: false }
    }
}

/// The refusal of a limit, as it was given.
pub(crate) fn wrong_limit(given: &str) -> Error {
    let given = shown(given);
    Error::argument(format!("limit is {given}; it takes a whole number from 1 to {PAGE_MAX_JOBS}"))
}

/// The refusal of a page behind a job that is not known: it was deleted or removed since, or is another key's.
pub fn unknown_after(job_id: &str) -> Error {
    let shown = shown(job_id);
    Error::argument(format!(
        "after is {shown}, which is not a job of this key, or not one any more; list from the beginning, without after"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Status;

    fn jobs(count: usize) -> Vec<Job> {
        (0..count).map(|number| Job::new(number.to_string(), Status::Running)).collect()
    }

    fn page(limit: impl Into<Option<usize>>, after: &str) -> Page {
        let after = Some(after.to_string()).filter(|it| !it.is_empty());
        Page { limit: limit.into(), after }
    }

    #[test]
    fn pages_are_the_list_cut_at_their_ends() {
        let cut = |page: Page| {
            let JobPage { jobs, has_more } = page.cut(jobs(5)).unwrap();
            let ids: Vec<String> = jobs.into_iter().map(|job| job.job_id).collect();
            (ids.concat(), has_more)
        };
        assert_eq!(cut(page(2, "")), ("01".into(), true));
        assert_eq!(cut(page(2, "1")), ("23".into(), true));
        assert_eq!(cut(page(2, "3")), ("4".into(), false));
        assert_eq!(cut(page(2, "2")), ("34".into(), false));
        assert_eq!(cut(page(2, "4")), (String::new(), false));
        assert_eq!(cut(page(None, "")), ("01234".into(), false));
        assert_eq!(cut(page(None, "3")), ("4".into(), false));
        let error = page(2, "9").cut(jobs(5)).unwrap_err();
        assert!(error.message().contains("\"9\"") && error.message().contains("without after"));
    }

    #[test]
    fn a_page_that_nobody_gives_is_refused() {
        for limit in [1, PAGE_MAX_JOBS] {
            page(limit, "j").check().unwrap();
        }
        for limit in [0, PAGE_MAX_JOBS + 1] {
            let error = page(limit, "").check().unwrap_err();
            assert!(error.message().contains("from 1 to 1000"), "{error}");
        }
        let empty = Page { after: Some(String::new()), ..Page::default() };
        assert!(empty.check().unwrap_err().message().contains("after is empty"));
        assert!(Page::default().is_all() && !page(1, "").is_all() && !page(None, "j").is_all());
    }
}
