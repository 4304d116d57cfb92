//! What an epoll event is about.

/// What an epoll event is about: the kind in the top byte, a number below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Listener,
    Guard,
    Timer,
    Signals,
    Connection(u64),
    Output(u64, usize),
}

impl Token {
    /// Returns it as the number epoll carries.
    pub(super) fn pack(self) -> u64 {
        let (kind, number) = match self {
            Token::Listener => (0, 0),
            Token::Guard => (1, 0),
            Token::Timer => (2, 0),
            Token::Signals => (3, 0),
            Token::Connection(number) => (4, number),
            Token::Output(slot, which) => (5 + which as u64, slot),
        };
        // Slots begin at milliseconds << 16: 57 bits until the year 4253, and the kinds need three.
        kind << 60 | number
    }

    /// Reads the number back.
    pub(super) fn unpack(packed: u64) -> Token {
        let number = packed & ((1 << 60) - 1);
        match packed >> 60 {
            0 => Token::Listener,
            1 => Token::Guard,
            2 => Token::Timer,
            3 => Token::Signals,
            4 => Token::Connection(number),
            kind => Token::Output(number, (kind - 5) as usize & 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_survives_epoll() {
        let slot = 4_000_000_000_000 << 16;
        let all = [Token::Listener, Token::Guard, Token::Timer, Token::Signals, Token::Connection(7)];
        for token in all.into_iter().chain([Token::Output(slot, 0), Token::Output(slot, 1)]) {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
