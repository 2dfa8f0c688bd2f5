//! Real children, real signals. Each test looks for its own processes by a mark of its own.

#[cfg(test)]
mod children;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod output;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod shim_loss;
#[cfg(test)]
mod support;
#[cfg(test)]
mod surroundings;
#[cfg(test)]
mod trees;
